"""The vision-language models: a model folder in, text token by token out. No torch, no ROS."""

from eo_nodes.lvlm.calibration import StageCalibration, read_calibration
from eo_nodes.lvlm.infer import ImageInput, InferResult, answer, answer_image, overview_of
from eo_nodes.lvlm.manifest import ModelConfig
from eo_nodes.lvlm.model import LvlmModel, load_model
from eo_nodes.lvlm.session import DecodeSession, TapState
from eo_nodes.lvlm.views import ViewTensor

__all__ = [
    "DecodeSession",
    "ImageInput",
    "InferResult",
    "LvlmModel",
    "ModelConfig",
    "StageCalibration",
    "TapState",
    "ViewTensor",
    "answer",
    "answer_image",
    "load_model",
    "overview_of",
    "read_calibration",
]
