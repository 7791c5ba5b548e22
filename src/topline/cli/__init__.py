"""The command line: the same verbs and reads as the pages, for people in a terminal and for scripts."""
