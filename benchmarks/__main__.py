"""`python -m benchmarks [SUBJECT]`: our stages beside the plainest thing that could do the same; `--help` lists them.

Everything that is compared is measured in one run; each subject has a module of its own, networks a package.
"""

import argparse
from pathlib import Path


def main() -> None:
    """Run the benchmark that is named; all imports are its own, so that none costs another memory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios measured side by side.")
    subjects = parser.add_subparsers(dest="subject")
    parser.set_defaults(scenes=60)
    chain = subjects.add_parser("chain", help="the dataset's stages on the sample (the default; a minute)")
    chain.add_argument("--scenes", type=int, default=60, help="scenes of the sample to measure on")
    indexing = subjects.add_parser("indexing", help="raw_images with and without decoding each picture (a minute)")
    indexing.add_argument("--images", type=int, default=3_000, help="images of the archive")
    labels = subjects.add_parser(
        "labels", help="raw_labels and filtered_labels on a file like the 2018 release (minutes, 2 GB of disk)"
    )
    labels.add_argument("--frames", type=int, default=70_000, help="frames of the label file")
    labels.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turn")
    dataset = subjects.add_parser(
        "dataset", help="dataset_zip on images of the release's size (a minute, 4 GB of disk)"
    )
    dataset.add_argument("--images", type=int, default=20_000, help="images of the archive")
    gpu = subjects.add_parser("gpu", help="the network on this machine's GPU (10 minutes)")
    gpu.add_argument("--steps", type=int, default=40, help="steps to measure, of each variant")
    gpu.add_argument("--scenes", type=int, default=48, help="scenes of the sample to train on")
    masks = subjects.add_parser("masks", help="rules to fill polygons beside BDD100K's published masks (a minute)")
    masks.add_argument("--real", type=Path, default=Path("../shared/real"), help="folder of the published files")
    prediction = subjects.add_parser("prediction", help="the command beside detect alone, and its memory (an hour)")
    prediction.add_argument("--model", type=Path, default=Path("data/trained_model/latest"), help="folder of a model")
    prediction.add_argument("--images", type=int, default=20_000, help="pictures for the memory")
    chosen = parser.parse_args()
    if chosen.subject == "indexing":
        from benchmarks import indexing as indexing_benchmark

        indexing_benchmark.run(chosen.images)
    elif chosen.subject == "labels":
        from benchmarks import labels as labels_benchmark

        labels_benchmark.run(chosen.frames, chosen.rounds)
    elif chosen.subject == "dataset":
        from benchmarks import dataset as dataset_benchmark

        dataset_benchmark.run(chosen.images)
    elif chosen.subject == "gpu":
        from benchmarks import gpu as gpu_benchmark

        gpu_benchmark.run(chosen.steps, chosen.scenes)
    elif chosen.subject == "prediction":
        from benchmarks import prediction as prediction_benchmark

        prediction_benchmark.run(chosen.model, chosen.images)
    elif chosen.subject == "masks":
        from benchmarks import masks as masks_benchmark

        masks_benchmark.run(chosen.real)
    else:
        from benchmarks import chain as chain_benchmark

        chain_benchmark.run(chosen.scenes)


if __name__ == "__main__":
    main()
