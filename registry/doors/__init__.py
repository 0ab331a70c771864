"""How the control plane is reached: one folder per protocol; requests to use cases, outcomes back."""
