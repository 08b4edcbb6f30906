// All inner loops for one instruction set: AMEND_VECTOR_TARGET is its name as an identifier, AMEND_VECTOR_NAME as text.
#include "kernels/cpu/vector/dots.hpp"
#include "kernels/cpu/vector/edge_embed.hpp"
#include "kernels/cpu/vector/edge_update.hpp"
#include "kernels/cpu/vector/edit_head.hpp"
#include "kernels/cpu/vector/node_update.hpp"
#include "kernels/cpu/vector/product.hpp"
#include "kernels/cpu/vector/rows.hpp"
#include "kernels/cpu/vector/sparse.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

namespace {

template <class T>
constexpr Functions<T> kFunctions = {
    .packed_width = packed_width<T>,
    .pack = pack<T>,
    .product = product<T>,
    .dots = dots<T>,
    .compress = compress<T>,
    .sparse_product = sparse_product<T>,
    .sparse_outer = sparse_outer<T>,
    .normalise_row = normalise_row<T>,
    .silu_row = silu_row<T>,
    .edge_update_scratch = edge_update_scratch<T>,
    .edge_update_forward = edge_update_forward<T>,
    .edge_update_backward = edge_update_backward<T>,
    .node_update_scratch = node_update_scratch<T>,
    .node_update_forward = node_update_forward<T>,
    .edge_embed_scratch = edge_embed_scratch<T>,
    .edge_embed_forward = edge_embed_forward<T>,
    .edge_embed_backward = edge_embed_backward<T>,
    .edit_head_scratch = edit_head_scratch<T>,
    .edit_head_forward = edit_head_forward<T>,
    .edit_head_backward = edit_head_backward<T>,
};

}  // namespace

extern const VectorFunctions vector_functions;
const VectorFunctions vector_functions = {AMEND_VECTOR_NAME, kFunctions<float>, kFunctions<double>};

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
