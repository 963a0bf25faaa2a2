// What all pages have: the switch between light and dark.

const root = document.documentElement
const dark = matchMedia('(prefers-color-scheme: dark)')

document.getElementById('theme').addEventListener('click', () => {
  const isDark = (root.dataset.theme ?? (dark.matches ? 'dark' : 'light')) === 'dark'
  root.dataset.theme = isDark ? 'light' : 'dark'
  localStorage.setItem('theme', root.dataset.theme)
  root.dispatchEvent(new Event('themechange'))
})
