"""A web service that takes verdicts by POST: Python's own HTTP server, which answers as a test decides."""

import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from certificates import Certificates
from ledger import Ledger
from peers import HOST
from wire import decode

TOKEN, SIGNING_KEY = "a token of the service", "a key that both know"

# A status, and further headers.
Answer = tuple[int, dict[str, str]]
TAKEN: Answer = (204, {})


@dataclass
class WebService:
    """Takes what carries the token and is signed; `decide` sees each body and answers."""

    certificates: Certificates
    port: int = 0
    decide: Callable[[bytes], Answer] = lambda _body: TAKEN
    # What was taken, in order, and the status of each request.
    bodies: list[bytes] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    heads: int = 0
    _server: ThreadingHTTPServer | None = field(default=None, init=False)

    def start(self) -> "WebService":
        """Listens, on a port of its own that it keeps."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                service.heads += 1
                self._answer(405, {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers = service.judged(dict(self.headers), body)
                service.statuses.append(status)
                if status < 300:
                    service.bodies.append(body)
                self._answer(status, headers)

            def _answer(self, status: int, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in (headers | {"Content-Length": "0"}).items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates.broker.cert, self.certificates.broker.key)
        context.load_verify_locations(self.certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def judged(self, headers: dict[str, str], body: bytes) -> Answer:
        """401 without the token, 400 where the signature is not that of the body."""
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {}
        expected = hmac.new(SIGNING_KEY.encode(), body, hashlib.sha256).hexdigest()
        if headers.get("x-verge-signature") != f"sha256={expected}":
            return 400, {}
        return self.decide(body)

    def stop(self) -> None:
        """No longer listens; what it has taken it keeps."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def ledger(self) -> Ledger:
        """What the bodies say, as JSON twins."""
        ledger = Ledger()
        for body in list(self.bodies):
            ledger.note(decode(body))
        return ledger

    def observed(self) -> list[float]:
        """The values that the verdicts are about, in order, each verdict once."""
        return [verdict.fields["anomaly"]["observed"] for verdict in self.ledger().in_order()]

    def events(self) -> list[dict]:
        """What the bodies hold as batches of CloudEvents."""
        return [event for body in list(self.bodies) for event in json.loads(body)]
