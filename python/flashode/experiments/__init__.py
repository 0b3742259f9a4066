"""Published experiments, each a command of `flashode`: data, model and training in a module of its name."""
