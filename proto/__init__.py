"""What is agreed: model, codecs, key layout, contracts. No I/O; everyone may import it; it imports nothing of ours."""
