"""The parts of Ex-Omni, one file each, and `ex_omni.py` that wires them."""
