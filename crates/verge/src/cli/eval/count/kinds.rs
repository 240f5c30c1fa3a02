//! Pictures that are looked at in order, through the viewer of the gateway: by a second model at what the first has found, or
//! where something was found before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use verge_domain::frame::{Shortfall, View};
use verge_domain::id::{DeviceId, JudgeIndex};
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;
use verge_domain::stage::{Seen, ViewRequest, Viewer as _};
use verge_domain::time::{Moment, UtcMillis};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::wiring;
use verge_models::FrameModel;
use verge_scene::{FrameSize, SeenBox};
use verge_vision::{CascadeSettings, FrameViewer, Memory, SourceMasks, ViewerSettings, VisionJudge};

use super::files::Frame;
use super::settings::CountSettings;
use crate::cli::output::Progress;
use crate::cli::pictures::{PictureFiles, PictureLimits};

/// Lets the models look at the pictures.
pub(super) fn look_in_order(
    frames: Vec<(Frame, PathBuf)>,
    models: Vec<Arc<FrameModel>>,
    then: Option<&CascadeSettings>,
    settings: &CountSettings,
) -> anyhow::Result<(Vec<Frame>, FrameSize)> {
    #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1")]
    let judge = VisionJudge {
        score: Some(settings.score as f32),
        classes: Some(settings.scheme.clone()),
        tiles: settings.tiles,
        follow: settings.follow,
        then: then.cloned().map(Arc::new),
        ..VisionJudge::of(0)
    };
    let limits = PictureLimits::default();
    let max_picture_bytes = wiring::picture_bytes(limits.max_pixels);
    let mut viewer = FrameViewer::new(&ViewerSettings {
        models,
        judges: vec![Some(judge)],
        looks: vec![settings.follow > 0],
        masks: SourceMasks::default(),
        names: Vec::new(),
        max_picture_bytes,
        watched: Vec::new(),
    })
    .exit_with(Exit::BadConfig)?;
    let (mut files, mut memory, mut progress) =
        (PictureFiles::new(limits), Memory::default(), Progress::new());
    let device = DeviceId::new("eval").context("a constant")?;
    let camera = Camera { source: SourceIndex(0), device: device.clone() };
    let (mut made, mut size) = (Vec::with_capacity(frames.len()), None);
    let count = frames.len();
    for (number, (frame, path)) in frames.into_iter().enumerate() {
        progress.show(&format!("{number} of {count} pictures"))?;
        let named = || path.display().to_string();
        let picture = match files.read(&path, device.clone()).with_context(named)? {
            Ok(picture) => picture,
            Err(reason) => bail!("{}: no frame: {reason}", path.display()),
        };
        #[expect(clippy::cast_possible_truncation, reason = "times of this age, and a cast saturates")]
        let received = Moment::from_wall(UtcMillis((frame.at * 1e3).round() as i64));
        let judges = &[JudgeIndex(0)];
        let request = ViewRequest {
            camera: &camera,
            frame: &picture,
            received,
            judges,
            until: None,
            shortfall: Shortfall::default(),
        };
        let mut seen = Seen::default();
        viewer
            .view(request, &mut memory, &mut seen)
            .map_err(|reason| anyhow!("{reason}"))
            .with_context(named)?;
        let Some((_, View::Detections(view))) = seen.views.pop() else { bail!("a detector gives objects") };
        let own = FrameSize { width: view.width, height: view.height };
        super::same_size(&path, own, *size.get_or_insert(own))?;
        let classes = settings.scene.classes();
        let boxes = view.objects.iter().filter_map(|object| {
            let class = classes.iter().position(|class| *class == object.label)?;
            let (left, top) = (f64::from(object.area.x), f64::from(object.area.y));
            let (right, bottom) = (left + f64::from(object.area.width), top + f64::from(object.area.height));
            Some(SeenBox { class, score: object.score.as_f64(), left, top, right, bottom })
        });
        made.push(Frame { boxes: Some(boxes.collect()), ..frame });
    }
    progress.clear()?;
    Ok((made, size.context("no pictures")?))
}

/// The second model's settings and card, which are only of use together.
pub(super) fn second<'a>(
    data: &Path,
    settings: &'a CountSettings,
    card: Option<&'a Path>,
) -> anyhow::Result<Option<(&'a CascadeSettings, &'a Path)>> {
    let table = data.join("count.toml");
    match (&settings.then, card) {
        (Some(then), Some(card)) => Ok(Some((then, card))),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(anyhow!("{}: [track.then] needs its model's card: --then FILE", table.display()))
        }
        (None, Some(card)) => {
            Err(anyhow!("--then {}: {} has no [track.then]", card.display(), table.display()))
        }
    }
    .exit_with(Exit::Usage)
}
