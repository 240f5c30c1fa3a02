use super::*;

fn offer(number: u8) -> OpenOffer {
    let sha256 = format!("{number:02x}").repeat(32);
    let offer =
        ModelOffer { id: "a".to_owned(), name: "parts".to_owned(), bytes: 9, sha256, base: None, url: None };
    OpenOffer::new(offer, "uplink wan")
}

#[test]
fn offers_outlive_a_restart_and_are_few() {
    let folder = tempfile::tempdir().unwrap();
    let (mut book, now) = (OfferBook::default(), Instant::now());
    for number in 0..4 {
        assert_eq!(book.take(&offer(number), now), Ok(0));
        offer(number).keep(folder.path()).unwrap();
    }
    assert_eq!(book.take(&offer(4), now), Err(ModelRefusal::TooMany { open: 4 }));
    assert_eq!(book.take(&offer(1), now), Ok(0), "the same again");
    let other = OpenOffer { bytes: 8, ..offer(1) };
    assert!(matches!(book.take(&other, now), Err(ModelRefusal::Contradiction { bytes: 9, .. })));
    fs::write(offer(2).part(folder.path()), "1234").unwrap();
    // What lies there and is none of them.
    fs::write(folder.path().join("x.json"), serde_json::to_vec(&offer(9)).unwrap()).unwrap();
    fs::write(offer(7).file(folder.path()), "{").unwrap();
    fs::write(offer(8).file(folder.path()), serde_json::to_vec(&offer(9)).unwrap()).unwrap();
    let mut again = OfferBook::load(folder.path(), now);
    assert_eq!(again.status().iter().map(|one| one.have).collect::<Vec<_>>(), [0, 0, 4, 0]);
    assert!(!offer(7).file(folder.path()).exists() && !offer(8).file(folder.path()).exists(), "no offers");
    assert_eq!(again.end(&offer(2).sha256, None), Some(offer(2)));
    offer(2).forget(folder.path());
    assert_eq!(OfferBook::load(folder.path(), now).status().len(), 3);
    let status = again.status();
    assert_eq!((status.len(), status[3].state), (4, "staged"));
}

#[test]
fn packages_take_turns_and_each_has_pauses_of_its_own() {
    let (mut book, now) = (OfferBook::default(), Instant::now());
    assert_eq!(book.next(0, now), Err(None));
    (0..3).for_each(|number| drop(book.take(&offer(number), now)));
    let order =
        |book: &OfferBook, now| (0..3).map(|turn| book.next(turn, now).unwrap().sha256).collect::<Vec<_>>();
    let all: Vec<String> = (0..3).map(|number| offer(number).sha256).collect();
    assert_eq!(order(&book, now), all);
    // The first cannot be reached: the others do not wait for it.
    let fail = |book: &mut OfferBook, now| {
        book.attempted(&all[0], (0, Some("no route".to_owned())), (now, u16::MAX))
    };
    assert_eq!(fail(&mut book, now), None);
    assert_eq!(order(&book, now), [&all[1], &all[1], &all[2]].map(String::clone));
    assert!(book.others_wait(&all[1], now) && book.others_wait(&all[0], now));
    let later = now + Duration::from_secs(10);
    assert_eq!(order(&book, later), all);
    // Pauses grow, are drawn, and begin anew once something has come.
    let pause = |book: &OfferBook, now: Instant| book.open[0].not_before.unwrap() - now;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        fail(&mut book, now);
        pauses.push(pause(&book, now));
    }
    assert!(pauses.is_sorted() && pauses[0] == Duration::from_secs(20), "{pauses:?}");
    assert_eq!(pauses.last(), Some(&PAUSES.max));
    book.attempted(&all[0], (0, Some("no route".to_owned())), (now, 0));
    assert_eq!(pause(&book, now), PAUSES.max / 2, "two gateways do not return in step");
    book.attempted(&all[0], (5, Some("it was cut".to_owned())), (now, u16::MAX));
    assert_eq!(pause(&book, now), Duration::from_secs(10));
    // It was offered again.
    assert_eq!(book.take(&offer(0), now), Ok(5));
    assert_eq!(order(&book, now), all);
    // One that has given way is due at once.
    assert_eq!(book.attempted(&all[0], (6, None), (now, 0)), None);
    assert_eq!(book.next(0, now).map(|offer| offer.sha256), Ok(all[0].clone()));
    let soon = now + Duration::from_secs(7);
    (0..3).for_each(|at| drop(book.attempted(&all[at], (6, Some("no route".to_owned())), (now, at as u16))));
    assert!(matches!(book.next(0, now), Err(Some(at)) if at < soon), "{:?}", book.next(0, now));
}

#[test]
fn turns_grow_while_a_package_must_begin_anew_each_time() {
    let (mut book, now) = (OfferBook::default(), Instant::now());
    (0..2).for_each(|number| drop(book.take(&offer(number), now)));
    let slow = offer(0).sha256;
    let mut turns = Vec::new();
    for _ in 0..4 {
        turns.push(book.turn().as_secs());
        book.lose_turn(&slow);
        // Nothing new has come: that is no fault of its service.
        book.attempted(&slow, (5, None), (now, 0));
    }
    assert_eq!(turns, [30, 60, 120, 240]);
    // Whoever offers the same again does not make them short.
    assert_eq!(book.take(&offer(0), now), Ok(5));
    assert_eq!(book.turn().as_secs(), 480);
    (0..100).for_each(|_| book.lose_turn(&slow));
    assert!(book.turn() < INCOMING_KEPT, "it is given up before: {:?}", book.turn());
    book.end(&slow, None);
    assert_eq!(book.turn(), TURN, "the others are as before");
}

#[test]
fn a_package_is_given_up_after_days_at_work_whatever_the_clock_says() {
    let folder = tempfile::tempdir().unwrap();
    let hash = offer(1).sha256;
    let kept = || OfferBook::load(folder.path(), Instant::now());
    offer(1).keep(folder.path()).unwrap();
    fs::write(offer(1).part(folder.path()), "12").unwrap();
    // Files of 1970, and of a day that is still to come.
    for at in [std::time::SystemTime::UNIX_EPOCH, std::time::SystemTime::now() + INCOMING_KEPT * 9] {
        for path in [offer(1).part(folder.path()), offer(1).file(folder.path())] {
            fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
        }
        assert!(!kept().is_given_up(&hash, Instant::now()));
    }
    let failed = || (2, Some("no route".to_owned()));
    // Six and a half days in one run of the gateway, half a day in the next.
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let (mut book, now) = (kept(), Instant::now());
    for hour in 1..=156 {
        assert!(!book.is_given_up(&hash, now + hours(hour)), "{hour}");
        let again = book.attempted(&hash, failed(), (now + hours(hour), 0)).expect("an hour is durable");
        again.keep(folder.path()).unwrap();
    }
    assert_eq!(book.attempted(&hash, failed(), (now + hours(156) + hours(1) / 2, 0)), None);
    let (book, now) = (kept(), Instant::now());
    assert!(!book.is_given_up(&hash, now + hours(11)));
    assert!(book.is_given_up(&hash, now + hours(12) + hours(1)));
    // A part comes: it begins anew, also after the next start.
    let (mut book, now) = (kept(), Instant::now());
    let again = book.attempted(&hash, (5, Some("it was cut".to_owned())), (now, 0)).expect("it has moved");
    again.keep(folder.path()).unwrap();
    assert!(
        !book.is_given_up(&hash, now + hours(160)) && !kept().is_given_up(&hash, Instant::now() + hours(160))
    );
}
