"""What several packages share: candidates, fronts, picks, metrics, statistics of trust."""
