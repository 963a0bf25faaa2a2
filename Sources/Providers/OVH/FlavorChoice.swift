import Foundation

extension OVHFlavor {
    /// Nominal gigabytes of memory, from figures that are gigabytes, megabytes or 0; `nil` if none can be made out.
    var ramGB: Int? {
        guard let ram, ram > 0, vcpus > 0 else {
            let digits = name.split(separator: "-").dropFirst().first.map { $0.prefix(while: \.isNumber) }
            return digits.flatMap { Int($0) }
        }
        return Int((ram / Double(vcpus) >= 256 ? ram / 1_000 : ram).rounded())
    }

    /// Whether it is a Linux size by the hour, of one of these kinds.
    func isOffered(in region: String, kinds: [String]) -> Bool {
        (osType ?? "linux") == "linux" && !name.hasPrefix("win-") && (self.region ?? region) == region
            && planCodes?.hourly != nil && kinds.contains(type ?? "")
    }

    /// Whether one more can be started now.
    var isAvailable: Bool { available == true && quota != 0 }

    /// Cheaper is smaller: OVH's prices are not in this API, and grow with processors and memory.
    func isCheaper(than other: OVHFlavor) -> Bool {
        let sizes = [(vcpus + (ramGB ?? 0), other.vcpus + (other.ramGB ?? 0)), (vcpus, other.vcpus)]
        let further = [(ramGB ?? 0, other.ramGB ?? 0), (disk ?? 0, other.disk ?? 0)]
        for (left, right) in sizes + further where left != right { return left < right }
        return name < other.name
    }
}

extension [OVHFlavor] {
    /// The cheapest of these that fits the spec, or the one it names, which may be of any kind, but not larger than that
    /// or than the spec: the spec is what the user's quota was counted by. Throws `vm_spec_invalid`.
    func choice(for spec: VMSpec, in region: String, kinds: [String]) throws(ProviderError) -> OVHFlavor {
        if let name = spec.flavor {
            guard let flavor = first(where: { ($0.name == name || $0.id == name) && ($0.region ?? region) == region })
            else {
                throw .invalidSpec(
                    "there is no flavour '\(name)' in \(region)",
                    hint: "Use one of: \(Set(map(\.name)).sorted().prefix(40).joined(separator: ", ")).")
            }
            guard flavor.isAvailable, flavor.planCodes?.hourly != nil else {
                throw .invalidSpec(
                    "flavour '\(name)' cannot be had in \(region) now", hint: "Use another, or leave it to Martlet.")
            }
            let unasked = try? cheapest(for: spec, in: region, kinds: kinds)
            let isWithin = flavor.vcpus <= spec.vcpus && (flavor.ramGB ?? 0) <= spec.memoryMb / 1_024
            guard isWithin || unasked.map({ !$0.isCheaper(than: flavor) }) ?? false else {
                throw .invalidSpec(
                    "flavour '\(name)' is larger than \(spec.vcpus) vCPU and \(spec.memoryMb) MB of memory",
                    hint: "Ask for a larger VM, within your tier, or for a smaller flavour.")
            }
            return flavor
        }
        return try cheapest(for: spec, in: region, kinds: kinds)
    }

    private func cheapest(for spec: VMSpec, in region: String, kinds: [String]) throws(ProviderError) -> OVHFlavor {
        let gigabytes = (spec.memoryMb + 1_023) / 1_024
        let disk = (spec.diskMb + 1_023) / 1_024
        let fitting = filter {
            $0.isOffered(in: region, kinds: kinds) && $0.isAvailable && $0.vcpus >= spec.vcpus
                && ($0.ramGB ?? 0) >= gigabytes && ($0.disk ?? 0) >= disk
        }
        guard let cheapest = fitting.min(by: { $0.isCheaper(than: $1) }) else {
            throw .invalidSpec(
                "no flavour in \(region) has \(spec.vcpus) vCPU, \(gigabytes) GB of memory and \(disk) GB of disk and "
                    + "is in stock",
                hint: "Ask for less, or choose another region (OVH_REGION).")
        }
        return cheapest
    }
}
