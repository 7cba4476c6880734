"""What this installation is made of, for records.

Read once, when this is imported: Streamlit changes `sys.path` while pages run, and a thread that looks a library up in that
moment does not find it.
"""

from importlib import metadata

CODE = metadata.version("latents-dashboard")
LIBRARIES = {name: metadata.version(name) for name in ("torch", "transformers", "transformer-lens", "sae-lens")}
