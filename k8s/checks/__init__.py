"""What check.py holds the deployment files to, one file for each subject.

A rule set is a module with `check(items)`, which yields what is wrong with a rendered deployment, and `PLANTED`: faults that
it must find, tried on a copy at every run. So a rule that has stopped looking is a failure too.
"""
