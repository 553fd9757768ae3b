"""The session engine that `replay` and `chat` share.

Shape::

    source --> Session.process(block) --------------------------> sink
                |  cut into VAD frames                       ^
                |  FrameClassifier -> VadMachine             |  PlaybackBuffer.pull(frame)
                |  TurnManager (pure)  --- playback orders --+
                |      |  ^
                |      v  |  commands / results, stamped in input samples
                +--> Runner (virtual clock, or a thread) --> DialogWorker
                           recognise, taste_tokenize, Conversation + streaming_generate, detokenize

* **One clock.** Time is the count of input samples. `Session.process` returns, for every VAD frame it
  completed, one frame for the loudspeaker; the frame pulled at time `t` sounds from `t` on (plus
  the output latency, which a device sink reports and a file leaves at 0).
* **Decisions are pure.** `TurnManager` gets frame decisions, worker results and playback progress, and
  returns commands, playback orders and events. It knows neither threads nor audio. Its two sides are
  `Hearing` (the person's pieces of speech) and `Answering` (the agent's reply).
* **Heavy work is steps.** A method of `DialogWorker` does one bounded piece of work. `VirtualRunner` runs the
  steps in place and stamps the results with the time they would have been ready at (`measured`, `fixed`
  or `zero` cost); `ThreadRunner` runs them in a thread and stamps them on arrival. Nothing else differs.
* **Pieces.** Speech reaches the worker as pieces (a stretch between two pauses, at most 30 s). A user turn
  is a tuple of pieces: what is said before the turn was answered is joined to it, noise is dropped.
* **Generations.** Every reply has a number; orders, audio chunks and results of an older number are dropped.
* **Events** (`taste_agent.events`) are the only output besides audio: the log, the transcript, the picture
  and the live view are all made from them.

Use it so::

    session = Session(settings, runner, emit=on_event)
    while (block := source.read()) is not None:
        sink.write(session.process(block))
    session.close()

Controls for keys (same thread as `process`): `interrupt()`, `type_text(text)`, `set_muted(bool)`,
`set_push_to_talk(bool | None)`. A sound card tells its delays by `set_latency(input, output)`.
"""
