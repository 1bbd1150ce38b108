"""The vision-language models: a model folder in, text token by token out. No torch, no ROS."""

from eo_nodes.lvlm.calibration import StageCalibration, read_calibration
from eo_nodes.lvlm.infer import ImageInput, InferResult, answer, answer_image, overview_of
from eo_nodes.lvlm.model import load_model
from eo_nodes.lvlm.runtime_greedy import TapState
from eo_nodes.lvlm.views import ViewTensor

__all__ = [
    "ImageInput",
    "InferResult",
    "StageCalibration",
    "TapState",
    "ViewTensor",
    "answer",
    "answer_image",
    "load_model",
    "overview_of",
    "read_calibration",
]
