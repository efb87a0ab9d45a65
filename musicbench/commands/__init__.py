"""One module per ``musicbench COMMAND``; each has ``main(argv) -> exit code``."""
