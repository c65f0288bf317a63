"""mrdl: deep learning as Hadoop streaming jobs."""
from pathlib import Path

# in a checkout kernels/ and jobs/ stand beside mrdl/
__path__.append(str(Path(__file__).parent.parent))
