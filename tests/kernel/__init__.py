"""What Linux's own isofs driver shows of discs, kept as golden listings, and our mount beside it."""
