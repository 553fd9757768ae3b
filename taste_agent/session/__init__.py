"""The session engine that `replay` and `chat` share.

Shape::

    source --> Session.process(block) --------------------------> sink
                |  cut into VAD frames                       ^
                |  FrameClassifier -> VadMachine             |  PlaybackBuffer.pull(frame)
                |  TurnManager (pure) --> orders: Play, Silence, Resume, Listen..., events
                |                    \\                       ^
                |                     v  commands            |  results, stamped in input samples
                +--> Runner (virtual clock, or a thread) --> DialogWorker
                           recognize, taste_tokenize, Conversation + streaming_generate, detokenize

* **One clock.** Time is the count of input samples. The frame pulled at time t sounds from t on, plus the
  output latency, which a device reports and a file leaves at 0.
* **Decisions are pure.** `TurnManager` returns orders; it knows neither threads nor audio. Events are among
  them only to be told: the log, the transcript, the picture and the live view are all made from them.
* **Heavy work is steps.** `VirtualRunner` runs them in place and stamps the results with the time they would
  have been ready at; `ThreadRunner` runs them in a thread and stamps them on arrival. Nothing else differs.
* **Pieces.** Speech reaches the worker as pieces (a stretch between two pauses, at most 30 s). A user turn
  is a tuple of pieces: what is said before the turn was answered is joined to it, noise is dropped.
* **Generations.** Every reply has a number; what belongs to an older number is dropped.
"""
