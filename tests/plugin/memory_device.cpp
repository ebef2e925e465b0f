// A device of torch that isn't the CPU and needs no hardware: its memory is the host's, and what it is asked
// to compute it hands to the CPU, one operation at a time.  Tests see by it what the plugin does on a device
// such as CUDA: an array of the CPU among those of the device is the same error there.

#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <cstring>
#include <torch/library.h>
#include <torch/torch.h>

namespace {

constexpr auto KIND = c10::DeviceType::PrivateUse1;

struct HostMemory final : c10::Allocator {
    c10::DataPtr allocate(size_t size) override {
        void* memory = c10::alloc_cpu(size);
        return {memory, memory, &c10::free_cpu, c10::Device(KIND, 0)};
    }
    c10::DeleterFnPtr raw_deleter() const override {
        return &c10::free_cpu;
    }
    void copy_data(void* to, const void* from, size_t size) const override {
        std::memcpy(to, from, size);
    }
};
HostMemory hostMemory;
REGISTER_ALLOCATOR(KIND, &hostMemory);
C10_REGISTER_GUARD_IMPL(PrivateUse1, c10::impl::NoOpDeviceGuardImpl<KIND>);

const c10::DispatchKeySet KEYS(c10::DispatchKey::PrivateUse1);

at::Tensor empty(c10::SymIntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
        std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
    return at::detail::empty_generic(
            C10_AS_INTARRAYREF_SLOW(size), &hostMemory, KEYS, c10::dtype_or_default(type), format);
}

at::Tensor emptyStrided(c10::SymIntArrayRef size, c10::SymIntArrayRef stride,
        std::optional<at::ScalarType> type, std::optional<at::Layout>, std::optional<at::Device>,
        std::optional<bool>) {
    return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride),
            &hostMemory, KEYS, c10::dtype_or_default(type));
}

/** The same numbers as an array of the CPU. */
at::Tensor seenByHost(const at::Tensor& x) {
    return x.is_cpu() ? x
                      : at::from_blob(const_cast<void*>(x.const_data_ptr()), x.sizes(), x.strides(),
                                x.options().device(at::kCPU));
}

at::Tensor copyFrom(const at::Tensor& from, const at::Tensor& to, bool) {
    seenByHost(to).copy_(seenByHost(from));
    return to;
}

at::Tensor copyFromAndResize(const at::Tensor& from, const at::Tensor& to) {
    at::native::resize_impl_cpu_(to.unsafeGetTensorImpl(), from.sizes(), std::nullopt);
    return copyFrom(from, to, false);
}

at::Scalar readNumber(const at::Tensor& x) {
    return seenByHost(x).item();
}

/** torch's way to the CPU leaves lists of optional arrays where they are. */
at::Tensor lookUp(const at::Tensor& x, const c10::List<std::optional<at::Tensor>>& indices) {
    c10::List<std::optional<at::Tensor>> seen;
    for (const std::optional<at::Tensor>& each : indices)
        seen.push_back(each.has_value() ? std::optional(seenByHost(*each)) : std::nullopt);
    return at::index(seenByHost(x), seen).to(x.device());
}

void onHost(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
    at::native::cpu_fallback(operation, stack);
}

} // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
    m.impl("empty.memory_format", &empty);
    m.impl("empty_strided", &emptyStrided);
    m.impl("_copy_from", &copyFrom);
    m.impl("_copy_from_and_resize", &copyFromAndResize);
    m.impl("_local_scalar_dense", &readNumber);
    m.impl("index.Tensor", &lookUp);
    m.impl("view", [](const at::Tensor& x, c10::SymIntArrayRef size) {
        return at::native::view(x, C10_AS_INTARRAYREF_SLOW(size));
    });
    m.impl("_reshape_alias", [](const at::Tensor& x, c10::SymIntArrayRef size, c10::SymIntArrayRef stride) {
        return at::native::_reshape_alias(x, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
    });
    m.impl("unfold", &at::native::unfold);
    m.impl("as_strided", [](const at::Tensor& x, c10::SymIntArrayRef size, c10::SymIntArrayRef stride,
                                 std::optional<c10::SymInt> offset) {
        std::optional<int64_t> start;
        if (offset.has_value())
            start = offset->expect_int();
        return at::native::as_strided_tensorimpl(
                x, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), start);
    });
    m.impl("set_.source_Storage_storage_offset",
            [](at::Tensor& x, at::Storage storage, c10::SymInt offset, c10::SymIntArrayRef size,
                    c10::SymIntArrayRef stride) -> at::Tensor& {
                return at::native::set_storage_cpu_(x, storage, offset.expect_int(),
                        C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
            });
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
    m.fallback(torch::CppFunction::makeFromBoxedFunction<&onHost>());
}
