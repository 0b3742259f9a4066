"""How things are measured: in a process of their own, answers before times, contenders in turn."""
