"""Model folders in the layout of Hugging Face ONNX exports, run as they are, without torch."""

from eo_nodes.lvlm.hf.layout import HfConfig, is_hf_folder, read_layout
from eo_nodes.lvlm.hf.model import HfModel, load_hf

__all__ = ["HfConfig", "HfModel", "is_hf_folder", "load_hf", "read_layout"]
