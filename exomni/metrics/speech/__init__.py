"""Scores of speech and text: error rates of recognised phones and words, opinion scores, speech units."""
