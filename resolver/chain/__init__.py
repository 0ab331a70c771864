"""What every query passes, in one order (`resolver.chain.order`); one step per file."""
