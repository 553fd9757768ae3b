"""Stages from the end of the person's turn to its taste tokens."""

from pathlib import Path

import torch

from taste_agent.bench.material import AUDIO_RATE_HZ, QUESTION_S, TALK, question_audio
from taste_agent.bench.report import Figure
from taste_agent.bench.subject import Subject
from taste_agent.bench.timing import measure
from taste_speech.audio_io import load_audio, prepare_audio
from taste_speech.errors import TasteError
from taste_speech.streaming import StreamingTokenizer

RECOGNITION = "recognition, after the end of turn"
_QUESTION = Path(__file__).parents[1] / "demo" / "question.wav"
_PIECE = AUDIO_RATE_HZ // 50
_MOST_RECOGNITIONS = 3


def hearing_figures(subject: Subject, repeats: int) -> list[Figure]:
    """Features, encoder, aggregator, quantizer, and all of it where the audio was encoded as it came."""
    model, processor, device = subject.model, subject.processor, subject.device
    tower = model.audio_tower
    samples = prepare_audio(question_audio(), AUDIO_RATE_HZ, processor.sampling_rate_hz)
    inputs = {name: x.to(device) for name, x in processor.audio_fields(samples).items()}
    features, n_frames = inputs["audio_features"], inputs["audio_feature_lengths"]
    text = {name: x.to(device) for name, x in processor.process_text(TALK[-1][0]).items()}
    tokens, words = text["asr_token_ids"], text["asr_word_ids"].long()
    with torch.inference_mode():
        encoded = tower.encode(features, n_frames)
        segmented = tower.aggregate(encoded, tokens, words)
    note = f"{QUESTION_S:g} s of audio, {encoded.keys.shape[1]} encoder frames"
    return [
        Figure.of("features", measure(lambda: processor.audio_fields(samples), device, repeats)),
        Figure.of("encoder", measure(lambda: tower.encode(features, n_frames), device, repeats), note=note),
        Figure.of(
            "aggregator",
            measure(lambda: tower.aggregate(encoded, tokens, words), device, repeats),
            note=f"{tokens.shape[1]} ASR tokens",
        ),
        Figure.of("RVQ", measure(lambda: tower.quantizer.quantize(segmented), device, repeats)),
        _encoded_ahead(subject, repeats),
    ]


def _encoded_ahead(subject: Subject, repeats: int) -> Figure:
    """What is left to do at the end of a turn whose audio was taken as it came."""
    audio = question_audio()
    text_ids = subject.processor.process_text(TALK[-1][0])["llm_token_ids"]
    tokenizer = StreamingTokenizer(subject.model, subject.processor)

    def hear() -> None:
        tokenizer.reset()
        for begin in range(0, len(audio), _PIECE):
            tokenizer.append(audio[begin : begin + _PIECE], AUDIO_RATE_HZ)

    times = measure(lambda: tokenizer.finish(text_ids), subject.device, repeats, before=hear, warm_ups=1)
    windows = subject.model.audio_tower.windows
    note = f"{tokenizer.windows_reused} windows ready before" if windows else "no trained windows: full pass"
    return Figure.of("taste tokens, encoded ahead", times, note=note)


def recognition_figure(subject: Subject, repeats: int) -> Figure | None:
    """The recogniser after the last sample; None where there is none (presets)."""
    if subject.is_preset:
        return None
    audio = load_audio(_QUESTION, AUDIO_RATE_HZ)
    try:
        recognizer = subject.processor.recognizer()

        def hear() -> None:
            recognizer.start()
            for begin in range(0, len(audio), _PIECE):
                recognizer.accept(audio[begin : begin + _PIECE])

        times = measure(
            recognizer.finish, subject.device, min(repeats, _MOST_RECOGNITIONS), before=hear, warm_ups=1
        )
    except (TasteError, OSError, RuntimeError):
        return None
    note = f"apart; of the demo's question, {len(audio) / AUDIO_RATE_HZ:.1f} s"
    return Figure.of(RECOGNITION, times, note=note)
