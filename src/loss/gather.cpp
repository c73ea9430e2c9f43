#include <sslmeme/loss/gather.hpp>

#include <torch/autograd.h>

namespace sslmeme {
namespace {

/// Carries the group through autograd.
struct GroupHolder : torch::CustomClassHolder {
  explicit GroupHolder(std::shared_ptr<const ProcessGroup> of) : group{std::move(of)} {}
  std::shared_ptr<const ProcessGroup> group;
};

struct AllGather : torch::autograd::Function<AllGather> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        const std::shared_ptr<const ProcessGroup>& group) {
    context->saved_data["group"] = c10::IValue::make_capsule(c10::make_intrusive<GroupHolder>(group));
    return group->all_gather(x.contiguous());
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto holder = context->saved_data["group"].toCapsule();
    const auto& group = static_cast<const GroupHolder&>(*holder).group;
    return {group->reduce_scatter_sum(gradients[0].contiguous()), {}};
  }
};

}  // namespace

Tensor all_gather(const Tensor& x, const std::shared_ptr<const ProcessGroup>& group) {
  return AllGather::apply(x, group);
}

NamedTensors all_gather(const NamedTensors& observed, const ProcessGroup& group) {
  NamedTensors all;
  for (const auto& [name, rows] : observed) all.emplace_back(name, group.all_gather(rows.contiguous()));
  return all;
}

LossOutput Gathered::operator()(const Tensor& z_a, const Tensor& z_b, const PairInfo& info) const {
  const auto& group = gather_.group;
  if (!group || group->size() == 1) return loss_(z_a, z_b, info);
  if (gather_.policy == GatherPolicy::none) {
    auto output = loss_(z_a, z_b, info);
    output.observed = all_gather(output.observed, *group);
    return output;
  }
  detail::check_pair(z_a, z_b, "Gathered");
  const PairInfo of_all{info.ids.defined() ? group->all_gather(info.ids.contiguous()) : Tensor{}, info.context};
  const LocalPairs pairs{all_gather(z_a, group), all_gather(z_b, group), group->rank() * z_a.size(0), z_a.size(0),
                         of_all};
  return gather_.policy == GatherPolicy::local ? loss_.local(pairs) : loss_(pairs.all_a, pairs.all_b, of_all);
}

}  // namespace sslmeme
