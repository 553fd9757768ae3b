"""The agent for browsers and other programs: the OpenAI Realtime protocol over WebSocket, and a page.

Shape::

    client --WebSocket--> app (asyncio)  --text-->  Talk (a thread for each connection)
                                                     |  Realtime: client events -> Session
                                                     |  Session.process(frame), as in chat and replay
                                                     |  Reporter: the session's events -> server events
    client <--WebSocket-- outbox (asyncio) <--text--+
                                                     |  commands / results
                                                     v
                          Computing (one thread, one model): the next step of the session that is due first

* **The session is that of chat and replay**, fed frame by frame; its clock is the client's audio, and silence
  at the pace of the wall clock where the client sends none and something is owed.
* **Sound goes out as it is to be heard**, not faster: what was sent was heard, within what a client buffers;
  `conversation.item.truncate` says it exactly.
* **One thread computes** for all sessions, a step at a time. The session whose sound runs dry first is next.
* **What this machine cannot hold in real time is refused** with the protocol's error.
"""
