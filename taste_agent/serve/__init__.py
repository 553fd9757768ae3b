"""Serves the agent to browsers and other programs: the OpenAI Realtime protocol over WebSocket, and a page.

Structure::

    client --WebSocket--> app (asyncio)  --text-->  Talk (one thread per connection)
                                                     |  Realtime: client events -> Session
                                                     |  Session.process(frame), as in chat and replay
                                                     |  Reporter: the session's events -> server events
    client <--WebSocket-- outbox (asyncio) <--text--+
                                                     |  commands / results
                                                     v
                          Computing (one thread, one model): the next step of the most urgent session

* **The session is that of chat and replay**, fed frame by frame. Its clock is the client's audio. If the
  client sends none and an answer is pending, silence takes its place in real time.
* **Sound is sent at the pace of speech**, not faster: what was sent was heard, except for what the client
  still buffers. `conversation.item.truncate` says exactly how much was heard.
* **One thread computes** for all sessions, one step at a time. The session whose sound runs out first is
  next.
* **A client that this machine cannot serve in real time is refused** with an error of the protocol.
"""
