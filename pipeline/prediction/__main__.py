"""`python -m pipeline.prediction`: masks for pictures that nobody has labelled."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import recipe as recipes
from pipeline.errors import SourceError
from pipeline.instances.tables import SPLITS
from pipeline.prediction import BY_DEFAULT, FORMS
from pipeline.program import add_recipe_options, key_and_value, run_command

if TYPE_CHECKING:
    from pipeline.prediction.run import Outcome

EXAMPLES = """examples:
  python -m pipeline.prediction drive/                     the newest model of data/, to the folder predictions
  python -m pipeline.prediction a.jpg b.zip 'c/**/*.png' --model data/trained_model/latest --out found
  python -m pipeline.prediction drive/ --classes car,bicycle --min-score 0.6 --save crops,masks
  python -m pipeline.prediction clip.mp4 --fps 5 --tracks    an annotated video, things numbered through it"""


def main(argv: Sequence[str] | None = None) -> int:
    """Predict what the arguments name; return 0, 2 for a fault, 28 for a full disk, or 130 when interrupted."""
    arguments = _parser().parse_args(argv)
    return run_command(lambda: _said(_run(arguments), arguments.out), arguments.out)


def _run(arguments: argparse.Namespace) -> "Outcome":
    from pipeline.prediction.opening import find_model, load_model
    from pipeline.prediction.pictures import IMAGES, Pictures, identified, sources_of
    from pipeline.prediction.run import OfVideos, run
    from pipeline.prediction.video import SUFFIXES

    chosen = recipes.load(arguments.recipe, dict(map(key_and_value, arguments.set)))
    where = find_model(arguments.model, chosen if arguments.recipe else None)
    arguments.out.mkdir(parents=True, exist_ok=True)
    sources = identified(sources_of(arguments.sources), chosen)
    with Pictures(sources, chosen, arguments.out, arguments.split) as pictures:
        if not (pictures.pictures or pictures.unusable or pictures.videos):
            suffixes = ", ".join(IMAGES + SUFFIXES)
            raise SourceError(f"{', '.join(arguments.sources)}: no picture or video ({suffixes}) is there")
        model = load_model(
            where,
            min_score=arguments.min_score,
            classes=arguments.classes,
            max_detections=arguments.max_detections,
            batch_size=arguments.batch,
            tile=arguments.tile,
            overlap=arguments.overlap,
            agnostic_nms=arguments.agnostic_nms,
            network=chosen if arguments.recipe else None,
        )
        of_videos = OfVideos(arguments.every, arguments.fps, arguments.tracks)
        return run(model, pictures, arguments.out, arguments.save, of_videos, force=arguments.force)


def _said(outcome: "Outcome", out: Path) -> str:
    rate = f", {outcome.new / outcome.seconds:.1f} images/s" if outcome.new else ", all of them predicted before"
    lines = [f"{outcome.pictures} pictures, {outcome.classes.total()} detections{rate}"]
    if outcome.rejected:
        lines.append(f"{outcome.rejected} pictures could not be used: {out / 'rejected.parquet'} says why")
    files = sorted(path.name + "/" * path.is_dir() for path in out.iterdir() if not path.name.startswith("."))
    return "\n".join([*lines, f"{out}: {', '.join(files)}"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.prediction",
        description="Find the instances in pictures that nobody has labelled.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="picture, video, folder, 'pattern', zip, address, gdrive:<id>")
    add("--model", help="folder with model.json and weights, weights file, or fingerprint (default: the newest)")
    add("--out", type=Path, default=Path("predictions"), help="folder for the result (default: predictions)")
    add(
        "--save",
        type=_forms,
        default=BY_DEFAULT,
        metavar="A,B",
        help=f"of {', '.join(FORMS)}, or none (default: {','.join(BY_DEFAULT)})",
    )
    add("--classes", type=_names, default=(), metavar="A,B", help="only these classes (default: all of the model)")
    add("--min-score", type=_share, metavar="S", help="least score (default: each class's threshold in the report)")
    add("--max-detections", type=_count, default=100, metavar="N", help="most detections a picture (default: 100)")
    add("--batch", type=_count, default=1, metavar="N", help="pictures that the network takes at once (default: 1)")
    add("--tile", type=_count, metavar="N", help="look at tiles of N × N pixels, too (for small things)")
    add("--overlap", type=_part, default=0.2, metavar="S", help="share of a tile that the next has, too (default: 0.2)")
    add("--agnostic-nms", action="store_true", help="keep one of overlapping detections of different classes, too")
    frames = parser.add_mutually_exclusive_group()
    frames.add_argument("--every", type=_count, default=1, metavar="N", help="every Nth frame of videos (default: 1)")
    frames.add_argument("--fps", type=_rate, metavar="F", help="F frames of each second of videos")
    add("--tracks", action="store_true", help="number the things in videos: the same one through all frames")
    add("--split", choices=SPLITS, help="only pictures whose folders name this split")
    add("--force", action="store_true", help="begin anew in a folder that holds predictions")
    add_recipe_options(parser)
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _forms(text: str) -> tuple[str, ...]:
    names = () if text == "none" else _names(text)
    if unknown := set(names) - set(FORMS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose of {', '.join(FORMS)}, or none")
    return names


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError("a score lies between 0 and 1")
    return share


def _part(text: str) -> float:
    part = float(text)
    if not 0 <= part <= 0.9:
        raise argparse.ArgumentTypeError("must be from 0 to 0.9")
    return part


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError("must be above 0")
    return rate


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


if __name__ == "__main__":
    sys.exit(main())
