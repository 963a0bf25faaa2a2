// What all pages have: the switch between light and dark. The choice is in a cookie, so that the next page comes as it is
// to look, without a script that would have to run before it is shown.

const root = document.documentElement
const dark = matchMedia('(prefers-color-scheme: dark)')

document.getElementById('theme').addEventListener('click', () => {
  const isDark = (root.dataset.theme ?? (dark.matches ? 'dark' : 'light')) === 'dark'
  root.dataset.theme = isDark ? 'light' : 'dark'
  document.cookie = `martlet_theme=${root.dataset.theme}; Path=/; Max-Age=31536000; SameSite=Strict`
  root.dispatchEvent(new Event('themechange'))
})
