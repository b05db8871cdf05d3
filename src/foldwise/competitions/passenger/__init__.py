"""The parts of passenger screening: file format, crops, and the body that the simulator draws."""
