"""Programs that measure parts of exomni: `python -m benchmarks NAME`; what they printed stands beside them."""
