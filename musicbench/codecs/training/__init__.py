"""Training of the bundled mini codec; nothing here is needed to use one."""
