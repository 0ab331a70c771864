"""The data plane: listeners, the chain of steps, the service and the view that they answer from."""
