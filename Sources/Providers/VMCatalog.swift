/// What a provider has to choose from.
package protocol VMCatalog: Sendable {
    /// Sizes of VMs, smallest first. Throws ``ProviderError``.
    func listFlavors() async throws -> [VMFlavor]
    /// Places where VMs can be made, by name. Throws ``ProviderError``.
    func listRegions() async throws -> [VMRegion]
}

/// A size that VMs come in.
package struct VMFlavor: Hashable, Codable, Sendable {
    package let id: String  // unique among all regions
    package let name: String  // what ``VMSpec/flavor`` takes
    package let region: String?
    package let vcpus: Int
    package let memoryMb: Int
    package let diskMb: Int
    package let priceHourly: Double?  // nil: the provider does not say
    package let available: Bool  // whether one more can be made now

    package init(
        id: String, name: String, region: String?, vcpus: Int, memoryMb: Int, diskMb: Int, priceHourly: Double? = nil,
        available: Bool
    ) {
        self.id = id
        self.name = name
        self.region = region
        self.vcpus = vcpus
        self.memoryMb = memoryMb
        self.diskMb = diskMb
        self.priceHourly = priceHourly
        self.available = available
    }
}

package struct VMRegion: Hashable, Codable, Sendable {
    package let id: String  // what ``VMSpec/region`` takes
    package let name: String
    package let available: Bool

    package init(id: String, name: String, available: Bool) {
        self.id = id
        self.name = name
        self.available = available
    }
}

extension VMProvider {
    /// The provider's own catalogue. One whose VMs come in any size and in one place has nothing in it.
    package var catalog: any VMCatalog { self as? any VMCatalog ?? EmptyCatalog() }
}

private struct EmptyCatalog: VMCatalog {
    func listFlavors() -> [VMFlavor] { [] }
    func listRegions() -> [VMRegion] { [] }
}
