"""Every reason for leaving out a label, an image or a label file: short fixed phrases, so that they can be counted.

They are the column `reason` of rejected.parquet of `raw_labels` and `filtered_labels`, except for reasons of images
that can't be read.
"""


class LabelError(Exception):
    """A label that can't be used; `reason` is one of the phrases of this module."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


FARTHEST = 1e6
"""Pixels from the origin that a coordinate may lie."""

# A label file that is not read, or an image entry of a label file that is malformed.
NOT_LABELS = "not a label file"
SKIPPED = "label file passed over"
REPEATED = "a name that comes again"
NO_IMAGE_NAME = "image has no name"
FRAME_NOT_OBJECT = "image is not an object"
LABELS_NOT_LIST = "labels are not a list"
ID_TWICE = "image id given twice"

# A label that is malformed, or has no class.
NO_OBJECT = "label is not an object"
NO_IMAGE_OF_ID = "no image has its image_id"
NO_CATEGORY = "no category"
CATEGORY_UNKNOWN = "category id is unknown"
NO_CLASS = "no class"
SEVERAL_CLASSES = "several classes"
NO_GEOMETRY = "no box, polygon or mask"
BOX_NOT_NUMBERS = "box is not four numbers"
BOX_WITHOUT_AREA = "box without area"
POLYGON_MALFORMED = "polygon is malformed"
POLYGON_WITHOUT_AREA = "polygon without area"
LINE_WITHOUT_LENGTH = "line without length"
TOO_FAR = "coordinate is not finite or too large"
MASK_MALFORMED = "run-length mask is malformed"
MASK_EMPTY = "mask without pixels"
SHAPE_MALFORMED = "shape is malformed"
SHAPE_UNKNOWN = "shape of unknown kind"
SHAPE_WITHOUT_AREA = "shape without area"
SEGMENT = "segment of time, no region"

# Labels that match no image, or do not fit it.
NO_SUCH_IMAGE = "no such image"
AMBIGUOUS = "several images of this name"
UNREADABLE = "its image can't be read"
OTHER_SPLIT = "its image lies in another split than its label file"
OTHER_SIZE = "made for an image of another size"
TURNED = "made for the image turned by 90 degrees; images count as their Exif data turn them"
OUTSIDE = "outside the image"

# Labels of an image that other labels replace.
REPLACED = "replaced by a later source"
TWICE = "image named twice"
OTHER_FILE = "made for another file of this name, by its size in bytes"
TWICE_ALIKE = "image named twice with the same labels"

# Labelled images that end up without labels, or with others, for more than the reasons of their labels.
MISSPELT = "another spelling of its class"
EMPTIED = "emptied by a later source"

# Single labels that the recipe leaves out.
TOO_SMALL = "smaller than least_area"
OCCLUDED = "occluded, left out by the recipe"
TRUNCATED = "truncated, left out by the recipe"
BOX_LEFT_OUT = "box without mask, left out by the recipe"
FILTER_REASONS = frozenset({TOO_SMALL, OCCLUDED, TRUNCATED, BOX_LEFT_OUT})

# Images that get no split.
UNLABELLED = "no labels for this image"
NO_INSTANCE = "no wanted instance"
WHERE = "labels.where: "
OTHER_VALUE = WHERE + "{attribute} is another"
NO_VALUE = WHERE + "{attribute} is not said"
NO_SPLIT = "no train, val or test in its path"
SAME_BYTES = "the same bytes are in {split}"
SAME_VIDEO = "its video is in {split}"
OVER_LIMIT = "over the limit of its split"
