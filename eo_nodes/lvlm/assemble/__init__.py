"""Parts of a model folder not carried here: put together from pinned packages, by digest."""

from eo_nodes.lvlm.assemble.folder import (
    Packaged,
    Recipe,
    Sibling,
    assemble,
    is_assembled,
    read_recipe,
    require_assembled,
    source_file,
    verified,
)
from eo_nodes.lvlm.assemble.gguf import GgufFile

__all__ = ["GgufFile", "Packaged", "Recipe", "Sibling", "assemble", "is_assembled", "read_recipe",
           "require_assembled", "source_file", "verified"]
