use super::*;

/// The name of a template whose parts are these texts, in order.
fn name(template: &str, parts: &[&str]) -> Result<String, Reason> {
    let template = NameTemplate::parse(template, true).unwrap();
    let mut out = String::new();
    template.compose(&mut out, |number, _, out| {
        out.push_str(parts.get(number).ok_or(Reason::MissingField)?);
        Ok(())
    })?;
    Ok(out)
}

#[test]
fn names_are_put_together() {
    let check = |template: &str, parts: &[&str], expected: Result<&str, Reason>| {
        assert_eq!(name(template, parts), expected.map(str::to_owned), "{template:?} of {parts:?}");
    };
    check("{topic:1}", &["a/b%"], Ok("a/b%"));
    check("x-{topic:1}-y", &["a-y"], Ok("x-a-y-y"));
    check("{topic:1}/{pointer:/id}", &["a", "b/c"], Ok("a/b/c"));
    check("{topic:1}/{pointer:/id}", &["a/b", "c"], Ok("a%2Fb/c"));
    check("{topic:1}/{pointer:/id}", &["a%2Fb", "c"], Ok("a%252Fb/c"));
    check("*.*", &["a.b", "c"], Ok("a%2Eb.c"));
    check("*é*", &["éa", "c"], Ok("%C3%A9aéc"));
    check("{{*}}", &["a"], Ok("{a}"));
    check("{topic:1}/{pointer:/id}", &["", "b"], Err(Reason::BadName));
    check("{topic:1}/{pointer:/id}", &["a", ""], Err(Reason::BadName));
    check("{topic:1}/{pointer:/id}", &["a"], Err(Reason::MissingField));
    check("{field}{tags}", &["a,b=c", ",d=e"], Ok("a%2Cb=c,d=e"));
    check("{field}{tags}", &["a", ""], Ok("a"));
}

#[test]
fn different_parts_never_make_one_name() {
    let texts = ["a", "/", "%", "2", "a/", "/a", "%2F", "%2", "2F", "%25", "a%2Fa", "//", "25", "a/a"];
    let mut seen = std::collections::HashMap::new();
    for one in texts {
        for two in texts {
            for three in texts {
                let name = name("x{topic:1}/{topic:2}2{topic:3}", &[one, two, three]).unwrap();
                let parts = [one, two, three];
                assert_eq!(seen.insert(name.clone(), parts), None, "{name:?} of {parts:?}");
            }
        }
    }
}

#[test]
fn pairs_never_read_alike() {
    let pairs = |pairs: &[(&str, &str)]| {
        let mut out = String::new();
        pairs.iter().for_each(|(key, value)| write_pair(key, value, &mut out));
        out
    };
    assert_eq!(pairs(&[("path", "/"), ("a=b", "c,d=e")]), ",path=/,a%3Db=c%2Cd=e");
    assert_ne!(pairs(&[("a", "b,c=d")]), pairs(&[("a", "b"), ("c", "d")]));
    assert_ne!(pairs(&[("a=b", "c")]), pairs(&[("a", "b=c")]));
}

#[test]
fn many_tags_are_cut_and_still_differ() {
    let long = |last: &str| name("{field}{tags}", &["f", &format!(",a={}{last}", "é".repeat(80))]).unwrap();
    assert!(long("1").len() <= MAX_NAME_BYTES && long("1").starts_with("f,a=é"), "{}", long("1"));
    assert_eq!(long("1"), long("1"));
    assert_ne!(long("1"), long("2"));
}

#[test]
fn what_is_no_template_is_refused() {
    let check = |text: &str, expected: &str| {
        let error = NameTemplate::parse(text, true).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    };
    check("a}b", "around each part");
    check("{topic:1", "around each part");
    check("{topic}", "{topic} is none of");
    check("{topic:x}", "{topic:x} is none of");
    check("{}", "{} is none of");
    check("{*0}", "{*0} is none of");
    check("{topic:1}{topic:2}", "text between two parts");
    check("**", "text between two parts");
    check("{tags}/{field}", "{tags} at the end");
    check("{tags}{tags}", "{tags} at the end");
    assert_eq!(NameTemplate::parse("*", false).unwrap().fixed(), Some("*"));
    assert_eq!(NameTemplate::parse("{topic:2..}", false).unwrap().only(), Some(&NamePart::TopicFrom(2)));
}

#[test]
fn the_rest_of_a_topic_is_a_part() {
    let check = |part: NamePart, topic: &str, expected: Option<&str>| {
        let mut out = String::new();
        let written = write_topic(&part, topic, &mut out);
        assert_eq!(written.ok().map(|()| out), expected.map(str::to_owned), "{part:?} of {topic:?}");
    };
    check(NamePart::TopicLevel(1), "a/b/c", Some("b"));
    check(NamePart::TopicLevel(3), "a/b/c", None);
    check(NamePart::TopicFrom(0), "a/b/c", Some("a/b/c"));
    check(NamePart::TopicFrom(1), "a/b/c", Some("b/c"));
    check(NamePart::TopicFrom(2), "a/b/", Some(""));
    check(NamePart::TopicFrom(3), "a/b/c", None);
    check(NamePart::TopicFrom(1), "/d/e", Some("d/e"));
}
