"""VoiceBench (arXiv 2410.17196): scores of a spoken assistant's text answers, on nine sets and in one Overall."""
