"""What a network is and costs: arithmetic, summaries, explanations."""
