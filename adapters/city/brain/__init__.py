"""智慧大脑: indicators of the node, and alarms."""
