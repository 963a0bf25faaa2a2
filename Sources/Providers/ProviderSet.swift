/// The providers of one process, at most one of a kind; never empty.
package struct ProviderSet: Sendable {
    /// Makes new VMs whose request names no provider.
    package let standard: any VMProvider
    /// All of them, ``standard`` first, then in the order in which they were given.
    package let all: [any VMProvider]
    private let byKind: [ProviderKind: any VMProvider]

    /// Throws `provider_unavailable` if a kind is given twice: two providers of one kind would take each other's VMs
    /// for VMs that nobody knows.
    package init(_ standard: any VMProvider, _ others: [any VMProvider] = []) throws(ProviderError) {
        var byKind: [ProviderKind: any VMProvider] = [:]
        for provider in [standard] + others {
            guard byKind.updateValue(provider, forKey: provider.kind) == nil else {
                throw ProviderError(
                    .unavailable, "The provider '\(provider.kind.rawValue)' is given twice.", hint: "Name it once.")
            }
        }
        self.standard = standard
        self.all = [standard] + others
        self.byKind = byKind
    }

    package init(only provider: any VMProvider) {
        standard = provider
        all = [provider]
        byKind = [provider.kind: provider]
    }

    package var kinds: [ProviderKind] { all.map(\.kind) }

    /// `nil` where this process does not have the provider; another may.
    package func find(_ kind: ProviderKind) -> (any VMProvider)? { byKind[kind] }

    /// The provider of this name, as rows have it. Throws `provider_unavailable`: not retryable in this process, which
    /// gets no further providers while it runs.
    package func provider(named name: String) throws(ProviderError) -> any VMProvider {
        if let kind = ProviderKind(rawValue: name), let provider = byKind[kind] { return provider }
        let names = kinds.map { "'\($0.rawValue)'" }.joined(separator: ", ")
        throw ProviderError(
            .unavailable, "This process has no provider '\(name)', only \(names).",
            hint: "Name it in '--provider' (VM_PROVIDER) of a worker that can reach it.")
    }
}
