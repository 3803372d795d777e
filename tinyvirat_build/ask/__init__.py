"""What is asked of data and of builds: each answer is one function of a build that is read."""
