"""The only SQL of the directory, and the only conversion between its rows and its messages.

Every function takes the transaction first and the connection's or workspace's id next: a row of another tenant cannot
be named. Functions return None, or fewer rows, for what is not there; what that means is for the use case to say.
"""
