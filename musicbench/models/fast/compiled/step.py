"""One decoding step of the network.

At the few rows of a step nothing counts but to read each weight once, at the speed of the memory. So a layer is six
loops, whose parts are shared by threads; between two loops the threads meet. A row's numbers are computed in the same
order whatever the other rows are: a clip's logits are the same bits in any batch and with any number of threads.

Shape suffixes: B clips, R sequences (clips, and behind them the copies that guidance needs), Q positions of the step,
M rows (R x Q, padded to an even number), I inputs of a product, D width, E entries of a row (4 x D), H heads, C width
of a head, F frequencies, S slots, K levels, T frames, L layers, V codebook size, N tokens drawn, P parts of a loop,
W weights of a layer.
"""

from numba import njit, prange

from musicbench.models.fast.compiled.arithmetic import activate, add, normed, product
from musicbench.models.fast.compiled.attention import attend, turn
from musicbench.models.fast.compiled.machine import array_at, compiled


@njit(error_model="numpy", inline="always")
def _share(count, parts, part, multiple):
    """First and end of one part of so many things, in whole multiples."""
    groups = -(-count // multiple)
    return min(groups * part // parts * multiple, count), min(groups * (part + 1) // parts * multiple, count)


@njit(error_model="numpy", inline="never")
def _read(grid_BKT, reads_QK, code_QD, embedding_ED, size, sequences, x_MD):
    """Sum the embeddings of what each position reads, and its position code; False if a token is not drawn yet."""
    clips, levels, _ = grid_BKT.shape
    asked, width = reads_QK.shape[0], x_MD.shape[1]
    for r in range(sequences):
        for q in range(asked):
            x_D = x_MD[r * asked + q]
            for d in range(width):
                x_D[d] = code_QD[q, d] if code_QD.shape[0] else 0.0
            for k in range(levels):
                token = grid_BKT[r % clips, k, reads_QK[q, k]]
                if token < 0 or token > size:
                    return False
                add(x_D, embedding_ED[k * (size + 1) + token])
    return True


@njit(error_model="numpy", inline="never")
def _self_attention(
    norm, x_MD, qkv_w, own_MD, wide_ME, heads_MD, turn_Q2F, keys_RHSC, values_RHSC, slot_Q, live, seen_QS, scores_S,
    first, end,
):  # fmt: skip
    """Self-attention of some heads, up to the output product: nothing in it needs another head."""
    sequences, width, asked, dim = keys_RHSC.shape[0], keys_RHSC.shape[3], len(slot_Q), x_MD.shape[1]
    normed(x_MD, norm[0], norm[1], own_MD)
    for part in range(3):
        product(own_MD, qkv_w, wide_ME, part * dim + first * width, part * dim + end * width)
    everything = seen_QS[:0].ravel()
    for head in range(first, end):
        query, key, value = head * width, dim + head * width, 2 * dim + head * width
        for r in range(sequences):
            keys_SC, values_SC = keys_RHSC[r, head], values_RHSC[r, head]
            for q in range(asked):
                row_E = wide_ME[r * asked + q]
                if turn_Q2F.shape[0]:
                    turn(row_E[query : query + width], turn_Q2F[q])
                    turn(row_E[key : key + width], turn_Q2F[q])
                slot = slot_Q[q]
                for i in range(width):
                    keys_SC[slot, i] = row_E[key + i]
                    values_SC[slot, i] = row_E[value + i]
            for q in range(asked):
                m = r * asked + q
                seen_S = seen_QS[q] if seen_QS.shape[0] else everything
                query_C, out_C = wide_ME[m, query : query + width], heads_MD[m, query : query + width]
                attend(query_C, keys_SC, values_SC, live, seen_S, scores_S, out_C)


@njit(error_model="numpy", inline="never")
def _cross_attention(
    norm, x_MD, cross_w, own_MD, wide_ME, heads_MD, asked, keys_RHSC, values_RHSC, length_R, everything, scores_S,
    first, end,
):  # fmt: skip
    """Attention of some heads to the caption, up to the output product."""
    width = keys_RHSC.shape[3]
    normed(x_MD, norm[0], norm[1], own_MD)
    product(own_MD, cross_w, wide_ME, first * width, end * width)
    for head in range(first, end):
        query = head * width
        for r in range(len(length_R)):
            keys_SC, values_SC = keys_RHSC[r, head], values_RHSC[r, head]
            for m in range(r * asked, (r + 1) * asked):
                query_C, out_C = wide_ME[m, query : query + width], heads_MD[m, query : query + width]
                attend(query_C, keys_SC, values_SC, length_R[r], everything, scores_S, out_C)


@njit(error_model="numpy", inline="never")
def _output(in_MI, weight, own_MD, x_MD, first, end):
    """Some columns of an output product, added to the residual stream."""
    if first < end:
        product(in_MI, weight, own_MD, first, end)
    for m in range(x_MD.shape[0]):
        add(x_MD[m, first:end], own_MD[m, first:end])


@njit(error_model="numpy", inline="never")
def _widen(norm, x_MD, weight, own_MD, wide_ME, first, end):
    """Some columns of the feed-forward part's wide side."""
    normed(x_MD, norm[0], norm[1], own_MD)
    if first < end:
        product(own_MD, weight, wide_ME, first, end)
    for m in range(x_MD.shape[0]):
        activate(wide_ME[m, first:end])


@njit(error_model="numpy", inline="never")
def _logits(
    hidden_MD, asked, query_N, level_N, heads_KVD, cfg, inner, sequences, rows_MD, both_MV, logits_BNV, first, end,
):  # fmt: skip
    """Logits of some codes for every token to be drawn, guided where there are null conditions."""
    clips, count, n = logits_BNV.shape[0], len(level_N), 0
    while n < count:
        # Tokens of one level stand side by side; they share the reading of its head.
        following = n
        while following < count and level_N[following] == level_N[n]:
            for r in range(sequences):
                from_D, to_D = hidden_MD[r * asked + query_N[following]], rows_MD[(following - n) * sequences + r]
                for d in range(len(to_D)):
                    to_D[d] = from_D[d]
            following += 1
        used = (following - n) * sequences
        product(rows_MD[: used + used % 2], heads_KVD[level_N[n]], both_MV, first, end)
        for i in range(n, following):
            for b in range(clips):
                row = (i - n) * sequences + b
                for v in range(first, end):
                    logit = both_MV[row, v]
                    if sequences > 2 * clips:
                        textless = both_MV[row + clips, v]
                        logit = textless + inner * (logit - textless)
                    if sequences > clips:
                        null = both_MV[row + sequences - clips, v]
                        logit = null + cfg * (logit - null)
                    logits_BNV[b, i, v] = logit
        n = following


@njit(error_model="numpy", inline="never")
def _part_of_layer(
    stage, p, parts, at_W, x_MD, own_MD, wide_ME, heads_MD, asked, turn_Q2F, keys_RHSC, values_RHSC, slot_Q, live,
    seen_QS, text_keys_RHSC, text_values_RHSC, length_R, scores_S,
):  # fmt: skip
    """The share of one thread in one of the six loops of a layer."""
    dim = x_MD.shape[1]
    if stage == 0 or stage == 2:
        first, end = _share(keys_RHSC.shape[1], parts, p, 1)
        if first == end:
            return
        norm = array_at(at_W[2 * stage], (dim,)), array_at(at_W[2 * stage + 1], (dim,))
        if stage == 0:
            _self_attention(
                norm, x_MD, array_at(at_W[2], (3 * dim, dim)), own_MD, wide_ME, heads_MD, turn_Q2F, keys_RHSC,
                values_RHSC, slot_Q, live, seen_QS, scores_S, first, end,
            )  # fmt: skip
        else:
            _cross_attention(
                norm, x_MD, array_at(at_W[6], (dim, dim)), own_MD, wide_ME, heads_MD, asked, text_keys_RHSC,
                text_values_RHSC, length_R, seen_QS[:0].ravel(), scores_S, first, end,
            )  # fmt: skip
    elif stage == 4:
        first, end = _share(4 * dim, parts, p, 4)
        norm = array_at(at_W[8], (dim,)), array_at(at_W[9], (dim,))
        _widen(norm, x_MD, array_at(at_W[10], (4 * dim, dim)), own_MD, wide_ME, first, end)
    else:
        first, end = _share(dim, parts, p, 4)
        if stage == 5:
            _output(wide_ME, array_at(at_W[11], (dim, 4 * dim)), own_MD, x_MD, first, end)
        else:
            _output(heads_MD, array_at(at_W[3 if stage == 1 else 7], (dim, dim)), own_MD, x_MD, first, end)


@compiled
def run_step(
    parts, table_LW, top, grid_BKT, reads_QK, code_QD, turn_Q2F, keys_LRHSC, values_LRHSC, slot_Q, live, seen_QS,
    text_keys_LRHSC, text_values_LRHSC, length_R, query_N, level_N, cfg, inner,
    x_MD, heads_MD, wide_ME, own_PMD, scores_PS, rows_PMD, both_PMV, logits_BNV,
):  # fmt: skip
    """Write the guided logits of a step's draws, and its keys and values into the cache.

    Args:
        parts: of each loop, for as many threads.
        table_LW: addresses of each layer's weights, in the order of ``steps.LAYER``.
        top: addresses of the embedding, the output norm's weight and bias, and the heads; and V.
        slot_Q, live, seen_QS: see ``KeyValueCache``; ``seen_QS`` is empty if all is seen.
        text_keys_LRHSC, text_values_LRHSC: without any slot if the model has no cross-attention.
        length_R: number of caption states of each sequence.
        query_N, level_N: position and level of each token drawn.
        cfg, inner: see ``guidance.Scales``; which of them count follows from the number of sequences.
        x_MD to logits_BNV: memory to work in, see ``steps.Workspace``.

    Returns:
        Whether every token that is read was drawn before; if not, nothing is computed.
    """
    layers, sequences = keys_LRHSC.shape[:2]
    levels, asked, dim, size = grid_BKT.shape[1], reads_QK.shape[0], x_MD.shape[1], top[4]
    embedding_ED = array_at(top[0], (levels * (size + 1), dim))
    if not _read(grid_BKT, reads_QK, code_QD, embedding_ED, size, sequences, x_MD):
        return False
    crosses = text_keys_LRHSC.shape[3] > 0
    for loop in range(6 * layers):
        if not crosses and (loop % 6 == 2 or loop % 6 == 3):
            continue
        layer = loop // 6
        for p in prange(parts):
            _part_of_layer(
                loop % 6, p, parts, table_LW[layer], x_MD, own_PMD[p], wide_ME, heads_MD, asked, turn_Q2F,
                keys_LRHSC[layer], values_LRHSC[layer], slot_Q, live, seen_QS, text_keys_LRHSC[layer],
                text_values_LRHSC[layer], length_R, scores_PS[p],
            )  # fmt: skip
    if len(level_N) == 0:
        return True
    normed(x_MD, array_at(top[1], (dim,)), array_at(top[2], (dim,)), heads_MD)
    heads_KVD = array_at(top[3], (levels, size, dim))
    for p in prange(parts):
        first, end = _share(size, parts, p, 4)
        if first < end:
            _logits(
                heads_MD, asked, query_N, level_N, heads_KVD, cfg, inner, sequences, rows_PMD[p], both_PMV[p],
                logits_BNV, first, end,
            )  # fmt: skip
    return True
