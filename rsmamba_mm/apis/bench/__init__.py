"""Figures from logs: experiments that are run, kept, told with intervals and checked."""
