"""Audio and its words -> taste tokens."""

from torch import Tensor

from taste_speech.audio_io import prepare_audio
from taste_speech.audio_tower.encoder import EncodedAudio
from taste_speech.errors import AudioError, TextError
from taste_speech.modeling_taste import TasteForCausalLM
from taste_speech.processing_taste import TasteProcessor


def taste_tokenize(
    model: TasteForCausalLM,
    processor: TasteProcessor,
    audio: Tensor,
    text_ids: Tensor,
    sampling_rate: int = 16000,
    *,
    encoded: EncodedAudio | None = None,
) -> Tensor:
    """Return the taste tokens of an utterance whose words are known, as `model.extract_vq` does.

    Args:
        model, processor: of one checkpoint.
        audio: (1, samples) mono, float in [-1, 1] or int16, at most as long as the audio tower allows (30 s).
        text_ids: (1, S) LLM token ids of the words, without special tokens.
        sampling_rate: sampling rate of `audio` in Hz; the audio is resampled if necessary.
        encoded: the encoder states of `audio` if a recognizer with the same encoder has them.

    Returns:
        (1, S, L) int64 on the model's device: codes on the first token of each word, -1 elsewhere.

    Raises:
        AudioError: the audio is not one utterance, empty, not finite, too long, or at an impossible rate.
        TextError: the text is not one text, empty, or has special tokens.
    """
    if audio.ndim != 2 or audio.shape[0] != 1:
        raise AudioError(
            f"audio has shape {tuple(audio.shape)}; expected (1, samples), one mono utterance at a time"
        )
    rate, longest_s = processor.sampling_rate_hz, processor.features.max_duration_s
    samples = prepare_audio(audio[0], sampling_rate, rate, longest_s)
    if text_ids.ndim != 2 or text_ids.shape[0] != 1 or text_ids.is_floating_point():
        raise TextError(
            f"text_ids have shape {tuple(text_ids.shape)} and type {text_ids.dtype}; "
            "expected (1, S) integer ids of one text"
        )
    words = processor.align_text_ids(text_ids)
    if encoded is not None:
        return model.extract_vq_of_encoded(encoded, **words)[1]
    return model.extract_vq(**words, **processor.audio_fields(samples))[1]
