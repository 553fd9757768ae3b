"""The session engine that `replay` and `chat` share.

Structure::

    source --> Session.process(block) --------------------------> sink
                |  cut into VAD frames                       ^
                |  FrameClassifier -> VadMachine             |  PlaybackBuffer.pull(frame)
                |  TurnManager (pure) --> orders: Play, Silence, Resume, Listen..., events
                |                    \\                       ^
                |                     v  commands            |  results, stamped in input samples
                +--> Runner (virtual clock, or a thread) --> DialogWorker
                           recognize, taste_tokenize, Conversation + streaming_generate, detokenize

* **One clock.** Time is the number of input samples. The frame pulled at time t is played from t on, plus the
  output latency reported by the device (0 for a file).
* **Decisions are pure.** `TurnManager` knows neither threads nor audio; it returns orders. Events among them
  only report: the log, the transcript, the picture and the live view are made from them.
* **Heavy work is steps.** `VirtualRunner` runs them in place and stamps the results with the time at which
  they would be ready; `ThreadRunner` runs them in a thread and stamps them on arrival.
* **Pieces.** Speech reaches the worker as pieces (stretches between two pauses, at most 30 s). A user turn is
  a tuple of pieces: speech before the answer joins the turn, noise is dropped.
* **Generations.** Every reply has a number; results with an older number are dropped.
"""
