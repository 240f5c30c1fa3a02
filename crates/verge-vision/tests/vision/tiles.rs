//! Frames that are larger than the input: what is small in the whole is found in its parts.

use verge_vision::{Memory, VisionJudge};

use crate::frames::{frame, jpeg, judge, view, viewer};
use crate::support::{card, load};

/// Side of the frame in pixels, of which a tile has 160 and each of its cells of the detector's grid 40.
const SIDE: u16 = 288;
const CELL: u16 = 40;

/// What is found of a bright patch of a tile's cell that begins here.
fn found(tiles: usize, (left, top): (u16, u16)) -> Vec<String> {
    let input = "layout = \"nchw\"\ncolour = \"rgb\"\nelement = \"f32\"\nresize = \"stretch\"\n\
                 scale = [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]";
    let output =
        "decoder = \"yolox\"\nstrides = [8, 16, 32]\nscore = 0.5\nnms = { iou = 0.65, per_class = true }";
    let mut viewer = viewer(
        load(&card("yolox", input, output), &["car", "sign"]).unwrap(),
        VisionJudge { tiles, ..judge() },
    );
    let is_bright = |from: u16, at: u16| (from..from + CELL).contains(&at);
    let colour = |x, y| if is_bright(left, x) && is_bright(top, y) { [255, 255, 0] } else { [0; 3] };
    let picture = frame(jpeg(SIDE, SIDE, colour), SIDE.into(), SIDE.into());
    let found = view(&mut viewer, &picture, &mut Memory::default()).unwrap();
    found.iter().map(|one| one.split(' ').skip(2).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn what_is_too_small_in_the_whole_is_found_in_a_tile() {
    assert_eq!(found(1, (40, 40)), [""; 0]);
    assert_eq!(found(2, (40, 40)), ["40,40 40x40"]);
    // The last tile begins at 128.
    assert_eq!(found(2, (168, 208)), ["168,208 40x40"]);
}

#[test]
fn what_a_tile_cuts_is_left_to_those_that_see_it_whole() {
    // At the inner edge of the first tile, and at that of the second.
    assert_eq!(found(2, (120, 40)), [""; 0]);
    // At the frame's own edge nothing is cut.
    assert_eq!(found(2, (0, 0)), ["0,0 40x40"]);
}
