"""The attention mechanisms that tests are parametrized over, derived from the files."""

from attnzoo.attention import mechanisms
from attnzoo.attention.options import GateOptions

NAMES = mechanisms.names()
GATES = [name for name in NAMES if isinstance(mechanisms.parse(name), GateOptions)]
"""Those that scale their input, and look at nothing else."""
CROSS = [name for name in NAMES if name not in GATES]
"""Those that look at a memory."""
