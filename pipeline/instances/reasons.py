"""Why a label or an image is left out: short fixed phrases, so that they can be counted."""

NO_OBJECT = "label is not an object"
NO_IMAGE_NAME = "image has no name"
FRAME_NOT_OBJECT = "image is not an object"
LABELS_NOT_LIST = "labels are not a list"
NO_IMAGE_OF_ID = "no image has its image_id"
ID_TWICE = "image id given twice"
NO_CATEGORY = "no category"
CATEGORY_UNKNOWN = "category id is unknown"
NO_CLASS = "no class"
SEVERAL_CLASSES = "several classes"
NO_GEOMETRY = "no box, polygon or mask"
BOX_NOT_NUMBERS = "box is not four numbers"
BOX_WITHOUT_AREA = "box without area"
BOX_LEFT_OUT = "box without mask, left out by the recipe"
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
NOT_LABELS = "not a label file"

FARTHEST = 1e6
"""Pixels from the origin that a coordinate may lie."""


class LabelError(Exception):
    """A label that can't be used; `reason` is one of the phrases of this module."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


TOO_SMALL = "smaller than least_area"
OCCLUDED = "occluded, left out by the recipe"
TRUNCATED = "truncated, left out by the recipe"
LABEL_REASONS = frozenset({TOO_SMALL, OCCLUDED, TRUNCATED, BOX_LEFT_OUT})
"""Why single labels are left out when the recipe asks for it."""

NO_SUCH_IMAGE = "no such image"
AMBIGUOUS = "several images of this name"
UNREADABLE = "its image can't be read"
OTHER_SPLIT = "its image lies in another split than its label file"
