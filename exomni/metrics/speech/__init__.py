"""Speech as it is heard: recognised phones and words, their error rates, opinion scores, units."""
