"""The report that qmpd was made for, played in front of your eyes: ``make run``."""
